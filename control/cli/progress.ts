const terminalEveryMs = 100;
const everyMs = 2000;

/**
 * Shows the progress of a job on stderr while it runs: one line that is rewritten on a terminal and gone in the end, a
 * line every two seconds elsewhere.
 */
export async function withProgress<T>(run: (show: (text: string) => void) => Promise<T>): Promise<T> {
  const terminal = process.stderr.isTTY === true;
  let shownAt = 0;
  let open = false;
  const show = (text: string) => {
    const now = Date.now();
    if (now - shownAt < (terminal ? terminalEveryMs : everyMs)) return;
    shownAt = now;
    open = terminal;
    process.stderr.write(terminal ? `\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${text}\n`);
  };
  try {
    return await run(show);
  } finally {
    if (open) process.stderr.write("\r\x1b[K");
  }
}
