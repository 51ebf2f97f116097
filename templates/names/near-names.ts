const maxNear = 3;
/** One slip in this many characters is still taken for the same name. */
const charactersPerSlip = 3;

/** The known names most like `wanted`, the nearest first: few slips of the keyboard away, or it with more added. */
export function findNearNames(wanted: string, known: readonly string[]): string[] {
  const text = wanted.slice(0, 200).toLowerCase();
  return known
    .map((name) => ({ name, slips: name.toLowerCase().startsWith(text) ? 0 : countSlips(text, name.toLowerCase()) }))
    .filter(({ name, slips }) => slips * charactersPerSlip <= pathLength(name))
    .sort((a, b) => a.slips - b.slips || (a.name < b.name ? -1 : 1))
    .slice(0, maxNear)
    .map(({ name }) => name);
}

/** What all names begin with says nothing about likeness. */
function pathLength(name: string): number {
  return name.replace(/^[a-z]+:\/\//, "").length;
}

/** Levenshtein's distance: insertions, deletions and replacements from one text to the other. */
function countSlips(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[to.length];
}
