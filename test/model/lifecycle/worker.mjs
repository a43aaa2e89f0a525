// Loads worker.ts: Node does not give tsx, which runs this process, to its worker threads.
import { register } from "tsx/esm/api";

register();
await import("./worker.ts");
