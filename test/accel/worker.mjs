// Run by models.test.ts as a worker thread: TypeScript is registered first, as the worker has none of its own.
import { register } from "tsx/esm/api";

register();
await import("./worker.ts");
