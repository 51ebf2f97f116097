import test from "ava";
import { parseDomain, parseListen, parseNumber, parsePorts, parseServers } from "../../../control/cli/arguments.ts";
import { describeError } from "../../../control/cli/describe-error.ts";
import { formatTable } from "../../../control/cli/output.ts";
import { commandFiles, createProgram } from "../../../control/cli/program.ts";
import { makeXeno } from "./xeno.ts";

type Command = Awaited<ReturnType<typeof createProgram>>;

function listCommands(command: Command, path: readonly string[] = []): { command: Command; path: string }[] {
  if (command.commands.length === 0) return [{ command, path: path.join(" ") }];
  return command.commands.flatMap((child) => listCommands(child, [...path, child.name()]));
}

function readHelp(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return help;
}

/** The lines under "Example:", as words. */
function readExamples(command: Command): string[][] {
  const [, examples = ""] = readHelp(command).split(/^Examples?:\n/m);
  return [...examples.matchAll(/^ {2}xeno (.*)$/gm)].map(([, line]) => line.split(" "));
}

test("every command's help has an example, and each example is taken as it stands", async (t) => {
  const program = await createProgram([], new AbortController().signal);
  const commands = listCommands(program);
  t.true(commands.length >= 18);
  const ran: string[] = [];
  for (const { command, path } of commands) {
    const examples = readExamples(command);
    t.true(examples.length > 0, path);
    command.action(() => void ran.push(path));
    for (const words of examples) {
      await program.parseAsync(words, { from: "user" });
      t.is(ran.pop(), path, words.join(" "));
    }
  }
});

test("a command line loads the commands of its own file, and all where it names none that is known", async (t) => {
  const load = async (words: string[]) =>
    (await createProgram(words, new AbortController().signal)).commands.map((command) => command.name());
  for (const { names } of commandFiles)
    for (const name of names) t.deepEqual(await load([name, "store"]), [...names], name);
  const all = commandFiles.flatMap(({ names }) => names);
  for (const words of [[], ["--help"], ["tempalte", "ls"], ["--store", "/x", "template", "ls"]])
    t.deepEqual(await load(words), all, words.join(" "));
});

test("arguments are taken or refused before anything is looked at", (t) => {
  t.is(parseNumber("512"), 512);
  t.deepEqual(parseListen("127.0.0.1:20490"), { host: "127.0.0.1", port: 20490 });
  t.deepEqual(parseListen("[::1]:0"), { host: "::1", port: 0 });
  t.deepEqual(parsePorts("8080:80"), { host: 8080, guest: 80 });
  t.deepEqual(parseServers("a,b,a"), ["a", "b"]);
  t.deepEqual(parseDomain("a/apache"), { server: "a", domain: "apache" });
  for (const [parse, texts] of [
    [parseNumber, ["0", "-1", "1.5", "1e3", "x", "", "99999999999999999999"]],
    [parseListen, ["foo", ":1", "host:", "::1:80", "host:65536", "host:-1"]],
    [parsePorts, ["80", "80:", ":80", "80:0", "1:65536", "65536:1", "a:b"]],
    [parseServers, ["", "a,,b", ","]],
    [parseDomain, ["a", "a/", "/a", "a/b/c"]],
  ] as const)
    for (const text of texts) t.throws(() => parse(text), { name: "InvalidArgumentError" }, `${parse.name} ${text}`);
});

test("wrong usage is one line and exit code 2, for people and for programs", async (t) => {
  const xeno = await makeXeno(t);
  for (const args of [
    ["template", "import", "x"],
    ["deploy", "xenostore://demo/x"],
    ["serve", "template://x/1", "--listen", "nowhere"],
  ]) {
    const { code, message } = await xeno.fail(args, { code: 2 });
    t.is(code, "usage", args.join(" "));
    t.notRegex(message, /^error|\n/);
  }
  const { code, stdout, stderr } = await xeno.run(["templte", "ls"]);
  t.is(code, 2);
  t.is(stdout, "");
  t.is(stderr, "xeno: unknown command 'templte' (Did you mean template?) [usage]\n      Add --help for the usage.");
  const bare = await xeno.run([]);
  t.is(bare.code, 2);
  t.regex(bare.stderr, /^Usage: xeno/);
});

test("results go to stdout, and a stdout that is full is an error", async (t) => {
  const xeno = await makeXeno(t);
  const help = await xeno.run(["key", "--help"]);
  t.is(help.code, 0);
  t.is(help.stderr, "");
  t.regex(help.stdout, /^Usage: xeno key/);
  const key = await xeno.json("key", "new", "demo");
  t.regex(key.publicKey, /^ed25519:/);
  const listed = await xeno.run(["key", "ls"]);
  t.deepEqual([listed.code, listed.stderr], [0, ""]);
  t.is(listed.stdout.split("\n").length, 3);
  const full = xeno.spawn(["key", "ls"]);
  full.stdout!.destroy();
  const code = await new Promise((resolve) => full.once("exit", resolve));
  t.is(code, 1);
});

test("tables leave out what nobody has, in the order of the columns", (t) => {
  t.is(formatTable([]), "");
  const rows = [
    { name: "a", process: undefined, reason: undefined, count: 5 },
    { name: "bb", process: undefined, reason: "why", count: 10 },
  ];
  t.is(formatTable(rows), "NAME  REASON  COUNT\na                 5\nbb    why        10\n");
});

test("what the operating system refuses is told in one line; only defects show their stack", (t) => {
  const refused = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
    syscall: "write",
  });
  t.like(describeError(refused), { code: "disk-full", message: refused.message });
  t.is(describeError(Object.assign(new Error("no"), { code: "EACCES", syscall: "open" })).code, "not-permitted");
  const defect = describeError(new TypeError("x is not a function"));
  t.is(defect.code, "internal");
  t.regex(defect.message, /at .*usage\.test\.ts/);
});
