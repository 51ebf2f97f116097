import { styleText } from "node:util";

/** What `npm start` tells on stderr as it goes: seconds since the start, who, and what. */
export interface Narrator {
  tell(who: string, what: string): void;
  /** Like `tell`, but at most every two seconds: for what changes all the time. */
  tellSometimes(who: string, what: string): void;
}

const everyMs = 2000;

export function createNarrator(): Narrator {
  const started = performance.now();
  let last = -everyMs;
  const tell = (who: string, what: string) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
    process.stderr.write(`${styleText("dim", `${seconds} s`)}  ${styleText("bold", who.padEnd(10))}  ${what}\n`);
  };
  return {
    tell,
    tellSometimes(who, what) {
      if (performance.now() - last < everyMs) return;
      last = performance.now();
      tell(who, what);
    },
  };
}
