// Run by processes.test.ts as a process of its own, which may be killed: pulls a model.
// Its command line names the compiled library's folder and the model.
// @ts-check
const [library = "", text = ""] = process.argv.slice(2);
const [{ parseHubName }, { findRevision }, { openSnapshot }, { pull }] = await Promise.all(
  ["name", "revision", "snapshot", "pull"].map((file) => import(`${library}/hub/${file}.js`)),
);
const options = { retryDelay: 1, onWarning: (/** @type {string} */ message) => console.error(message) };
const snapshot = await openSnapshot(await findRevision(parseHubName(text), options), options);
await pull(snapshot, options);
