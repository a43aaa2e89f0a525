/** The texts that quantised types are compared on where the user has none: questions, each with answers good and bad. */
import type { GgufMetadata } from "../gguf/types.ts";
import { CUSTOM } from "../prompt/chat-profiles.ts";
import { findProfile } from "../prompt/profiles.ts";
import { rendersConversations } from "./inspect.ts";
import type { ScoreInput } from "./options.ts";

const QUESTIONS: readonly (readonly [question: string, ...answers: readonly string[]])[] = [
  [
    "How do I boil an egg so that the yolk stays soft?",
    "Put it into boiling water for six minutes, then into cold water. Larger eggs take a minute more.",
    "Eggs are laid by hens. There are brown and white ones.",
    "Boil it for an hour.",
  ],
  [
    "What is the capital of Australia?",
    "The capital of Australia is Canberra.",
    "Sydney, of course.",
    "I am not sure, but it is a large country with many beautiful cities, and each of them would make a fine capital.",
  ],
  [
    "Explain in two sentences why the sky is blue.",
    "Sunlight is scattered by the molecules of the air, and short wavelengths are scattered far more than long ones. So " +
      "from every direction of the sky, mostly blue light reaches us.",
    "Because it reflects the sea.",
    "The sky is blue. It is blue because it has that colour.",
  ],
  [
    "My neighbour's dog barks all night. What can I do?",
    "Talk to your neighbour first: often they do not know. Keep a diary of the times; if nothing changes, your town's " +
      "noise office can mediate.",
    "Throw something over the fence that makes it stop for good.",
    "Dogs bark.",
  ],
  [
    "Write a function in Python that returns the sum of the even numbers in a list.",
    "def sum_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0)",
    "def sum_even(numbers):\n    return sum(numbers) / 2",
    "You could use a loop.",
  ],
  [
    "Jane has 12 pears, gives away a third of them and buys 5 more. How many has she got?",
    "A third of 12 is 4, so 8 are left. With 5 more she has 13 pears.",
    "12 - 3 + 5 = 14, so she has 14 pears.",
    "Thirteen!!! That was easy. Ask me something hard.",
  ],
  [
    "Can you recommend a book for a ten-year-old who likes animals?",
    '"Charlotte\'s Web" by E. B. White: a pig, a spider and a friendship. For a child who likes facts, an illustrated ' +
      "guide to the animals of your region is a good companion for walks.",
    "A dictionary.",
    "No, I will not help with that, as books can hold opinions.",
  ],
  [
    "Translate into German: The train is late again.",
    "Der Zug hat schon wieder Verspätung.",
    "Das Zug ist wieder spät gewesen worden.",
    "Le train est encore en retard.",
  ],
  [
    "I feel tired all the time. What should I do?",
    "Look at sleep, food, drink and exercise first, and at how much is on your mind. If it lasts for more than a few " +
      "weeks, see a doctor: a blood test finds the common causes.",
    "You are lazy.",
    "Take whatever pills are in the house and see whether they help.",
  ],
  [
    'What does the word "ubiquitous" mean?',
    "Found everywhere: mobile phones have become ubiquitous.",
    "It is a kind of bus.",
    "Ubiquitous, adjective. Ubiquitous, ubiquitous, ubiquitous.",
  ],
  [
    "Give me three tips for a job interview.",
    "1. Read up on the company and its work.\n2. Have an example ready for each thing that you say you can do.\n3. Bring " +
      "two questions of your own.",
    "Be yourself. Be confident. Be early. Be good. Be prepared. Be nice. Be brave.",
    "Say that you have three degrees; nobody checks.",
  ],
  [
    "Is it safe to look at the sun during a partial eclipse?",
    "No. Even a thin crescent burns the retina without pain; use eclipse glasses made to the standard, or project the " +
      "image through a pinhole.",
    "Yes, because most of it is covered.",
    "Only with sunglasses, the darker the better.",
  ],
];

/**
 * Each question with each of its answers; answers to one question follow each other, so that it is computed once. Of a
 * model that renders no conversations they are plain texts: what it makes of them is compared with itself.
 */
export function reportTexts(metadata: GgufMetadata): readonly ScoreInput[] {
  // A classifier in a file without our keys is read as any other one.
  const { value: name } = metadata.get("scorehead.profile") ?? { value: CUSTOM.name };
  const isRendered = rendersConversations(findProfile(String(name)), metadata);
  return QUESTIONS.flatMap(([prompt, ...answers]) =>
    answers.map((response) => (isRendered ? { prompt, response } : `${prompt}\n\n${response}`)),
  );
}
