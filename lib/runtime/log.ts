/** llama.cpp's log: one stream for the process, silent until somebody listens. */
import { addon } from "./addon.ts";

type Listener = (level: "debug" | "info" | "warn" | "error", text: string) => void;

const listeners = new Set<Listener>();

/** Adds a listener; the log is of the whole process, so each hears of every model. Returns the way to stop. */
export function subscribeLog(listener: Listener | undefined): () => void {
  if (!listener) return () => {};
  // A wrapper of its own, so that the same function given twice is two subscriptions.
  const own: Listener = (level, text) => listener(level, text);
  if (listeners.size === 0) addon().setLog((level, text) => broadcast(level as Parameters<Listener>[0], text));
  listeners.add(own);
  return () => {
    if (listeners.delete(own) && listeners.size === 0) addon().setLog(null);
  };
}

function broadcast(level: Parameters<Listener>[0], text: string): void {
  for (const listener of listeners) {
    try {
      listener(level, text);
    } catch (error) {
      // An uncaught exception of its own, as from any event listener: the addon, which called, would swallow it.
      setImmediate(() => {
        throw error;
      });
    }
  }
}
