import fs from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { checkStore } from "../../xenostore/collect/check-store.ts";
import { pinKey, readPin } from "../../xenostore/collect/pin.ts";
import { sweepStore } from "../../xenostore/collect/sweep.ts";
import { describeStore } from "../../xenostore/stores/describe-store.ts";
import { openStore } from "../../xenostore/stores/open-store.ts";
import { normalizeStoreUrl } from "../../xenostore/stores/store-url.ts";
import { readContext } from "./context.ts";
import { exitCodes, formatBytes, printJson, printResult, type Row, tell } from "./output.ts";
import { withProgress } from "./progress.ts";

export function createStoreCommands(): Command {
  const store = new Command("store").description("the XenoStore that templates and overlays lie in").addHelpText(
    "after",
    `
A store is a directory, a bucket of an S3 service, or (to read) a web server:
  /srv/xenostore
  s3://BUCKET/PREFIX?endpoint=https://s3.example   also region=NAME and profile=NAME; Amazon's own without endpoint
  https://cdn.example/xenostore
It is the one of --store, else of $XENO_STORE, else that of \`xeno store use\`, else store in $XENO_HOME.

Credentials for a bucket are never in its URL. They are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment,
or in a file: ~/.aws/credentials or $AWS_SHARED_CREDENTIALS_FILE, read again when they are refused.`,
  );

  store
    .command("show")
    .description("say which store is used, whether it answers, and what it can do")
    .addHelpText("after", "\nExample:\n  xeno --store s3://services?endpoint=http://127.0.0.1:7480 store show")
    .action(async (_options, command: Command) => {
      const { json, home, signal } = readContext(command);
      printResult(json, { store: home.store, ...(await describeStore(await home.openStore(), signal)) });
    });

  store
    .command("use <url>")
    .description("use this store from now on, once it has answered")
    .addHelpText("after", "\nExample:\n  xeno store use s3://services?endpoint=http://127.0.0.1:7480")
    .action(async (url: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const chosen = normalizeStoreUrl(url);
      const described = await describeStore(await openStore(chosen, { create: false }), signal);
      await fs.mkdir(home.directory, { recursive: true, mode: 0o700 });
      const temporary = home.at(`store.url.${process.pid}`);
      await fs.writeFile(temporary, `${chosen}\n`, { flush: true });
      await fs.rename(temporary, home.at("store.url"));
      printResult(json, { store: chosen, ...described });
    });

  store
    .command("gc")
    .description("take one step towards deleting what no name, no XenoServer and no publication needs")
    .option("--grace <hours>", "how long it stays condemned before it is deleted", parseHours, 24)
    .option("--dry-run", "only say what the step would do")
    .addHelpText(
      "after",
      `
The first step condemns what nobody needs; a step after the grace looks again and deletes what still nobody needs. Run it
from a timer, on one machine or on several. Publishing goes on meanwhile, and may be killed as this may.

Example:
  xeno store gc --dry-run`,
    )
    .action(async ({ grace, dryRun }: { grace: number; dryRun?: boolean }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const opened = await home.openStore();
      const { keys, until, needed, ...outcome } = await withProgress((show) =>
        sweepStore(opened, { graceMs: grace * 3_600_000, dryRun, signal, onProgress: show }),
      );
      if (json) printJson({ ...outcome, until, needed, keys });
      else {
        if (dryRun === true) for (const key of keys) process.stdout.write(`${key}\n`);
        printResult(false, { ...outcome, until: until === undefined ? undefined : new Date(until).toISOString() });
      }
    });

  store
    .command("check")
    .description("read the whole store and tell what is damaged or missing, and which names need it")
    .option("--repair", "delete what is damaged: publishing the same again then stores it anew")
    .addHelpText("after", "\nExit code 3 when there are problems.\n\nExample:\n  xeno store check --repair")
    .action(async ({ repair }: { repair?: boolean }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const opened = await home.openStore();
      const { problems, ...checked } = await withProgress((show) =>
        checkStore(opened, {
          repair,
          signal,
          onProgress: ({ objects, ofObjects, bytes }) =>
            show(`read ${objects} of ${ofObjects} objects, ${formatBytes(bytes)}`),
        }),
      );
      if (json) printJson({ ...checked, problems });
      else {
        printResult(
          false,
          problems.map((problem) => ({ ...problem })),
        );
        tell(`${checked.objects} objects, ${formatBytes(checked.bytes)}: ${problems.length} problems`);
      }
      if (problems.length > 0) process.exitCode = exitCodes.partial;
    });

  store
    .command("pins")
    .description("list the XenoServers that keep trees in the store, whatever their names do")
    .addHelpText("after", "\nExample:\n  xeno store pins")
    .action(async (_options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const opened = await home.openStore();
      const rows: Row[] = [];
      for (const key of await opened.list("pins", { signal })) {
        const pin = await readPin(opened, key, { signal });
        const written = pin && new Date(pin.written).toISOString().slice(0, 19);
        rows.push({ holder: key.slice("pins/".length), host: pin?.host, trees: pin?.trees.length, written });
      }
      printResult(json, rows);
    });

  store
    .command("unpin <holder>")
    .description("forget the needs of a XenoServer that is gone for good")
    .addHelpText("after", "\nExample:\n  xeno store unpin a-6f1c2ad0")
    .action(async (holder: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const opened = await home.openStore();
      if ((await opened.stat(pinKey(holder), { signal })) === undefined)
        throw new XenoError("pin-unknown", `${opened.name} has no pins of ${holder}`, { hint: "See: xeno store pins" });
      await opened.delete(pinKey(holder), { signal });
      printResult(json, { unpinned: holder });
    });

  return store;
}

function parseHours(text: string): number {
  const hours = Number(text);
  if (!(hours >= 0 && hours <= 100_000) || text.trim() === "")
    throw new InvalidArgumentError("A number of hours is needed.");
  return hours;
}
