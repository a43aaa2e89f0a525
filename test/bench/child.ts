/** One engine in a process of its own, so that memory and event loop are its own: workloads in, measurements out. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Workload } from "./cases.ts";
import type { EngineOptions, Measurement, StartEngine } from "./engine.ts";

const [, , engine, options] = process.argv;
const { start } = (await import(`./${engine}-engine.ts`)) as { start: StartEngine };
const run = await start(JSON.parse(options as string) as EngineOptions);
process.send?.("ready");

// By itself the signal would end this process without its "exit" event, which stops what an engine has started.
process.on("SIGTERM", () => process.exit());
process.on("message", async (workload: Workload) => {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begin = performance.now();
  const done = await run(workload);
  const seconds = (performance.now() - begin) / 1000;
  delay.disable();
  const measured: Measurement | null = done && {
    seconds,
    reused: done.reused,
    peakMegabytes: done.peakMegabytes ?? process.resourceUsage().maxRSS / 1024,
    eventLoop: { p99: delay.percentile(99) / 1e6, longest: delay.max / 1e6 },
  };
  process.send?.(measured ?? "unable");
});
