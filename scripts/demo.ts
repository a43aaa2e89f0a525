/**
 * `npm run demo`: the main job on an embedded default. Writes a small checkpoint in the layout of
 * beaver-7b-v1.0-cost with the true Llama vocabulary and random weights, converts it, and scores four texts.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert, ScoreModel, scoreMeaning } from "../lib/index.ts";
import { writeFixture } from "../test/fixtures/checkpoints.ts";

const CONVERSATIONS = [
  { prompt: "hello", response: "Hello! How can I help you today?" },
  { prompt: "How do I boil an egg?", response: "Seven minutes in boiling water, then cold water." },
  { prompt: "How do I boil an egg?", response: "No." },
  { prompt: "Écris-moi un mot gentil 😀", response: "Tu fais du bon travail." },
];

const folder = await mkdtemp(join(tmpdir(), "scorehead-demo-"));
try {
  console.log(
    "A small checkpoint in the layout of beaver-7b-v1.0-cost. ITS WEIGHTS ARE RANDOM: the scores mean nothing.\n",
  );
  const { directory } = await writeFixture("beaver-cost", join(folder, "beaver-demo-cost"));
  const file = join(folder, "beaver-demo-cost.gguf");
  const { tensors, profile } = await convert(directory, file);
  console.log(`Converted ${tensors.length} tensors to one GGUF file, profile ${profile.name}.`);

  await using model = await ScoreModel.load(file, { device: "cpu" });
  const { labels, type, endScores, endIndex, scores, tokenIds } = await model.score(CONVERSATIONS, { perToken: true });
  console.log(`Scored ${CONVERSATIONS.length} texts on ${model.info.device}.\n`);
  const label = labels[0] ?? type;
  for (const [i, { prompt, response }] of CONVERSATIONS.entries()) {
    const score = endScores.data[i] ?? Number.NaN;
    console.log(
      `${i}  ${scoreMeaning(type, label, score).padEnd(34)} token ${endIndex.data[i]}   ${prompt} → ${response}`,
    );
  }

  console.log("\nScores per token of the first text:");
  const ids = tokenIds[0] ?? new Int32Array();
  for (const [i, id] of ids.entries())
    console.log(
      `${String(i).padStart(3)}  ${(scores?.data[i] ?? Number.NaN).toFixed(4).padStart(9)}  ${model.tokenText(id)}`,
    );
} finally {
  await rm(folder, { recursive: true, force: true });
}
