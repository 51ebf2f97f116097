import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { QmpClient, type QmpEvent } from "../../../../xenod/hypervisors/qemu/qmp.ts";

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\r\n';

interface Command {
  execute: string;
  arguments?: unknown;
  id: number;
}

/** A QEMU of one socket: greets, accepts the capabilities, and leaves the rest to the test. */
async function startPeer(t: ExecutionContext, onCommand: (command: Command, socket: Socket) => void) {
  const directory = await mkdtemp(join(tmpdir(), "xeno-qmp-"));
  const path = join(directory, "qmp.sock");
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(greeting);
    socket.setEncoding("utf8").on("data", (text: unknown) => {
      for (const line of (text as string).trim().split("\n")) {
        const command = JSON.parse(line) as Command;
        if (command.execute === "qmp_capabilities") socket.write(`{"return": {}, "id": ${command.id}}\n`);
        else onCommand(command, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(directory, { recursive: true, force: true });
  });
  return path;
}

test("answers go to their commands, in whatever order and pieces they come, with events between", async (t) => {
  const waiting: Command[] = [];
  const path = await startPeer(t, (command, socket) => {
    waiting.push(command);
    if (waiting.length < 3) return;
    const answers = waiting.reverse().map(({ id, execute }) => `{"return": "${execute}", "id": ${id}}\r\n`);
    const text = answers.join('{"event": "STOP", "data": {"é": 1}}\n');
    const bytes = Buffer.from(text);
    const half = text.indexOf("é") + 1; // within the two bytes of é
    socket.write(bytes.subarray(0, half), () => socket.write(bytes.subarray(half)));
  });
  const client = await QmpClient.connect(path);
  t.teardown(() => client.close());
  const events: QmpEvent[] = [];
  client.onEvent((event) => events.push(event));
  const names = ["stop", "cont", "quit"];
  t.deepEqual(await Promise.all(names.map((name) => client.execute(name))), names);
  t.deepEqual(events, [
    { event: "STOP", data: { é: 1 } },
    { event: "STOP", data: { é: 1 } },
  ]);
});

test("a refusal says what QEMU said; an answer that does not come is waited for no longer than allowed", async (t) => {
  const path = await startPeer(t, ({ execute, id }, socket) => {
    if (execute === "bad") socket.write(`{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ${id}}\n`);
  });
  const client = await QmpClient.connect(path);
  t.teardown(() => client.close());
  await t.throwsAsync(client.execute("bad"), { code: "qmp-refused", message: /no such thing/ });
  await t.throwsAsync(client.execute("slow", {}, 50), { code: "qmp-timeout" });
  t.false(client.isClosed);
});

test("when the connection ends, what waits is told, and so is what comes after", async (t) => {
  const path = await startPeer(t, (_, socket) => socket.destroy());
  const client = await QmpClient.connect(path);
  await t.throwsAsync(client.execute("query-status"), { code: "qmp-disconnected" });
  await client.closed();
  await t.throwsAsync(client.execute("query-status"), { code: "qmp-disconnected" });
});

test("a socket that greets nobody is busy; one that is not there is not connected", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "xeno-qmp-"));
  const path = join(directory, "qmp.sock");
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(path, resolve));
  t.teardown(async () => {
    silent.close();
    await rm(directory, { recursive: true, force: true });
  });
  await t.throwsAsync(QmpClient.connect(path, 50), { code: "qmp-busy" });
  await t.throwsAsync(QmpClient.connect(`${path}.none`, 50), { code: "qmp-disconnected" });
});

for (const [what, text] of [
  ["a line without an end", "x".repeat(1024 * 1024 + 1)],
  ["what is not JSON", "{]\n"],
  ["what is no message", "null\n"],
] as const) {
  test(`a QEMU that sends ${what} is not listened to any more`, async (t) => {
    const path = await startPeer(t, (_, socket) => socket.write(text));
    const client = await QmpClient.connect(path);
    await t.throwsAsync(client.execute("query-status"), { code: "qmp-disconnected" });
    await client.closed();
    t.true(client.isClosed);
  });
}
