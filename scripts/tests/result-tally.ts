/** Counts what ava 8 prints about tests, line by line. */
export class ResultTally {
  passed = 0;
  failed = 0;
  skipped = 0;

  take(line: string): void {
    if (/^ *[✔√] /.test(line)) this.passed += 1;
    else if (/^ *- \[(skip|todo)\] /.test(line)) this.skipped += 1;
    else if (isFailure(line)) this.failed += 1;
  }
}

/** A test, one that hung (◌), a file that did not end, or one that crashed; not the headings over those that hung. */
function isFailure(line: string): boolean {
  if (/^ *[✘×] (Timed out while running tests|Exiting due to SIGINT)/.test(line)) return false;
  return /^ *([✘×◌] |Failed to exit when running |Uncaught exception in |Unhandled rejection in )/.test(line);
}
