// Topics and patterns as people write them in one field.
// Shape: pure text. The gateway decides what is valid; this only splits, joins and suggests.

/** Patterns from a field, separated by white space. */
export function topicsOf(text: string): string[] {
  return [...new Set(text.split(/\s+/).filter((topic) => topic !== ""))];
}

/** A topic that `pattern` matches, to publish to: wildcards become a plain level. */
export function sampleOf(pattern: string): string {
  return pattern
    .split(".")
    .map((level) => (level === "*" || level === ">" ? SAMPLE_LEVEL : level))
    .join(".");
}

/** Whether `pattern` matches `topic` (PROTOCOL.md section 1). */
export function matches(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const levels = topic.split(".");
  for (const [i, level] of wanted.entries()) {
    const given = levels[i];
    if (given === undefined) return false;
    if (i === 0 && given.startsWith("$") && level !== given) return false;
    if (level === ">" && i === wanted.length - 1) return true;
    if (level !== "*" && level !== given) return false;
  }
  return levels.length === wanted.length;
}

const SAMPLE_LEVEL = "lab";
