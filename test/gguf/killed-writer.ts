/** Run by write.test.ts as a process of its own: is killed in the middle of writing the file named on its command line. */
import { writeGguf } from "../../lib/gguf/write.ts";

const [path = ""] = process.argv.slice(2);

await writeGguf(path, new Map(), [{ name: "t", dims: [1024], type: "F32" }], async function* () {
  yield new Uint8Array(2048);
  process.kill(process.pid, "SIGKILL");
  // The signal arrives before this timer does.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
});
