/** A store that is away makes every request of every guest say the same: each message is told once in a while, with how often it came. */
const everyMs = 30_000;
/** Of different messages; beyond these all are forgotten, and told anew. */
const maxRemembered = 200;

/** The same log, seldom. */
export function tellSeldom(
  log: (text: string) => void,
  now: () => number = () => performance.now(),
): (text: string) => void {
  const told = new Map<string, { at: number; silent: number }>();
  return (text) => {
    const before = told.get(text);
    if (before !== undefined && now() - before.at < everyMs) {
      before.silent++;
      return;
    }
    if (told.size >= maxRemembered) told.clear();
    told.set(text, { at: now(), silent: 0 });
    log(before === undefined || before.silent === 0 ? text : `${text} (and ${before.silent} times more since)`);
  };
}
