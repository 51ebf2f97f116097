/**
 * Counts a TAP stream (version 13, as ava writes it) line by line and decides what of it is shown: results without
 * their numbers, and whatever follows a failure; not the plan and the comments around passing tests.
 */
export class TapTally {
  passed = 0;
  failed = 0;
  skipped = 0;
  #afterFailure = false;

  /** Takes a line; returns what to show for it. */
  take(line: string): string | undefined {
    const result = /^(not )?ok \d+ - (.*)$/.exec(line);
    if (result === null) {
      const isFrame = /^(TAP version|1\.\.|# (tests|pass|fail|skip)\b|#|\s*$)/.test(line);
      return this.#afterFailure && !isFrame ? line : undefined;
    }
    const [, not, title = ""] = result;
    const isPending = / # (SKIP|TODO)\b/i.test(title);
    this.#afterFailure = not !== undefined && !isPending;
    if (isPending) this.skipped += 1;
    else if (this.#afterFailure) this.failed += 1;
    else this.passed += 1;
    return `${isPending ? "--" : this.#afterFailure ? "NOT OK" : "ok"} ${title}`;
  }
}
