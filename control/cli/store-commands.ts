import fs from "node:fs/promises";
import { Command } from "commander";
import { describeStore } from "../../xenostore/stores/describe-store.ts";
import { openStore } from "../../xenostore/stores/open-store.ts";
import { normalizeStoreUrl } from "../../xenostore/stores/store-url.ts";
import { readContext } from "./context.ts";
import { printResult } from "./output.ts";

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

  return store;
}
