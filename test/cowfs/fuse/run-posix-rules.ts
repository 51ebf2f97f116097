/** Runs the conformance suite with system calls, each rule in a fresh directory of the one given; prints a line of JSON a rule. */
import { chmodSync, mkdirSync } from "node:fs";
import { World } from "../posix-rules/world.ts";
import { chapters } from "../posix-rules.ts";
import { SystemCallFileSystem } from "./system-call-file-system.ts";

export interface Outcome {
  /** `chapter: sentence` */
  readonly rule: string;
  /** What was wrong; absent when the rule is kept. */
  readonly error?: string;
}

let count = 0;
for (const [chapter, rules] of Object.entries(chapters)) {
  for (const [sentence, run] of rules) {
    const directory = `${process.argv[2]}/${++count}`;
    mkdirSync(directory);
    chmodSync(directory, 0o755);
    const fileSystem = new SystemCallFileSystem(directory);
    const outcome: Outcome = { rule: `${chapter}: ${sentence}` };
    const error = await tryRule(() => run(new World(fileSystem)));
    console.log(JSON.stringify({ ...outcome, error }));
    fileSystem.close();
  }
}

async function tryRule(run: () => unknown): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (thrown) {
    return String((thrown as Error).message ?? thrown);
  }
}
