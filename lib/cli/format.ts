/** Numbers and tables for people. */
import type { HeadReport } from "../index.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** 13476000000 → "13.5 GB". */
export function formatBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toPrecision(3)} ${UNITS[power]}`;
}

/** 6738415616 → "6.74 billion". */
export function formatCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toPrecision(3)} billion`;
  return count >= 1e6 ? `${(count / 1e6).toPrecision(3)} million` : String(count);
}

/** Six significant digits. */
export function formatScore(score: number): string {
  return String(Number(score.toPrecision(6)));
}

/** 4000 → "67 min". */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 90 * 60 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A name and a value that may not be there. */
export type Fact = readonly [name: string, value: string | null | undefined];

/** `name  value` lines with the values in one column; facts without a value are left out. */
export function factLines(facts: readonly Fact[]): string[] {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.flatMap(([name, value]) => (value == null ? [] : [`${name.padEnd(width)}  ${value}`]));
}

/** Rows as columns of equal width; no padding after the last column. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** "1 x 4096 with bias", "mlp of 1024, 1 x 4096 with bias", "gated, 19 x 4096". */
export function headWords({ kind, layers, hiddenSize, bias }: HeadReport): string {
  const size = `${layers.join(", ")} x ${hiddenSize}${bias ? " with bias" : ""}`;
  return kind === "linear" ? size : kind === "mlp" ? `mlp of ${size}` : `gated, ${size}`;
}
