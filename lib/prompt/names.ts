/** How repository and directory names tell a family. */

/**
 * A regular expression that finds whole words, in this order, in a repository or directory name: a word ends where
 * letters and digits end, so that `dpa` is not found in "sandpaper".
 */
export function words(...wanted: readonly string[]): RegExp {
  const edge = "(?:^|[^a-z0-9])";
  return new RegExp(`${wanted.map((word) => `${edge}${word}(?![a-z0-9])`).join(".*?")}`, "i");
}

/** Whether one of the architectures is meant; a leading `*` stands for any backbone. */
export function includesArchitecture(architectures: readonly string[], architecture: string): boolean {
  return architectures.some((name) =>
    name.startsWith("*") ? architecture.endsWith(name.slice(1)) : name === architecture,
  );
}
