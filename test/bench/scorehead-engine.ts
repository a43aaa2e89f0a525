/** scorehead, as a user calls it. */

import type { DeviceChoice } from "../../lib/index.ts";
import { ScoreModel } from "../../lib/index.ts";
import type { StartEngine } from "./engine.ts";

export const start: StartEngine = async ({ file, threads, device }) => {
  const model = await ScoreModel.load(file, { device: device as DeviceChoice, threads });
  return async ({ calls, perToken }) => {
    const before = model.stats();
    for (const texts of calls)
      await model.score(
        texts.map((tokenIds) => ({ tokenIds: [...tokenIds] })),
        { perToken },
      );
    const after = model.stats();
    return { reused: (after.tokensReused - before.tokensReused) / (after.tokensAsked - before.tokensAsked) };
  };
};
