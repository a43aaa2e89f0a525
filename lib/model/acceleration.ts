/** Whether a model is computed with scorehead's own kernels. */
import type { GgufContents } from "../gguf/backbone.ts";
import type { Accelerator } from "../runtime/accelerator.ts";
import type { DeviceSelection } from "../runtime/open.ts";

/** The word for `accel`. `auto`: wherever it helps. */
export type AccelChoice = "auto" | "off";
export const ACCEL_CHOICES: readonly AccelChoice[] = ["auto", "off"];

export interface Acceleration {
  /** The kernels in use, e.g. "avx512-vnni"; null: llama.cpp's own are. */
  readonly kernels: string | null;
  /** For people. */
  readonly reason: string;
}

/** The types that native/accel multiplies. */
const TYPES: readonly string[] = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K"];

/** Decides for a model on a device. */
export function chooseAcceleration(
  choice: AccelChoice = "auto",
  { devices }: DeviceSelection,
  { kernels, reason }: Accelerator,
  tensors: GgufContents["tensors"],
): Acceleration {
  const off = (why: string): Acceleration => ({ kernels: null, reason: why });
  if (choice === "off") return off("as asked");
  if (devices.length > 0) return off("it is for the CPU");
  if (kernels === null) return off(reason);
  // Products of other types are left to llama.cpp, which is faster at some of them by itself.
  const helps = tensors.some(
    ({ name, dims, typeName }) => /^blk\./.test(name) && dims.length > 1 && TYPES.includes(typeName),
  );
  return helps ? { kernels, reason: "products and attention on the CPU" } : off("it has no kernels for these weights");
}
