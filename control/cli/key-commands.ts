import { Command } from "commander";
import { createKey, listKeys, listTrustedKeys, trustKey } from "../../xenostore/keys/key-ring.ts";
import { readContext } from "./context.ts";
import { printResult } from "./output.ts";

export function createKeyCommands(): Command {
  const key = new Command("key").description("keys that you sign with, and whose signatures you believe");

  key
    .command("new <name>")
    .description("make a key pair; you trust your own key for the owner of that name")
    .addHelpText("after", "\nExample:\n  xeno key new demo")
    .action(async (name: string, _options, command: Command) => {
      const { json, home } = readContext(command);
      const made = await createKey(home.keys, name);
      await trustKey(home.keys, name, made.publicKey);
      printResult(json, { name, id: made.id, publicKey: made.publicKey });
    });

  key
    .command("trust <owner> <publicKey>")
    .description("believe what this key signs for an owner; the owner `templates` signs templates")
    .addHelpText("after", "\nExample:\n  xeno key trust demo ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    .action(async (owner: string, publicKey: string, _options, command: Command) => {
      const { json, home } = readContext(command);
      printResult(json, { ...(await trustKey(home.keys, owner, publicKey)) });
    });

  key
    .command("ls")
    .description("list your keys and those that you trust")
    .addHelpText("after", "\nExample:\n  xeno key ls")
    .action(async (_options, command: Command) => {
      const { json, home } = readContext(command);
      const own = (await listKeys(home.keys)).map(({ name, id, publicKey }) => ({ kind: "own", name, id, publicKey }));
      const trusted = (await listTrustedKeys(home.keys)).map(({ owner, id, publicKey }) => ({
        kind: "trusted",
        name: owner,
        id,
        publicKey,
      }));
      printResult(json, [...own, ...trusted]);
    });

  return key;
}
