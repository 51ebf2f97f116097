/** Debian's Chromium without a window, driven over its DevTools protocol: as a person at the page would, and no more. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ExecutionContext } from "ava";

export interface Page {
  /** Evaluates an expression in the page; a promise is waited for. */
  evaluate<Value>(expression: string): Promise<Value>;
}

/** What it would ask the Internet for by itself is off. */
const quiet = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A container has little of it.
  "--disable-dev-shm-usage",
];
const startMs = 120_000;
const answerMs = 60_000;

/** Opens a page; the browser ends with the test. */
export async function openPage(t: ExecutionContext, url: string): Promise<Page> {
  const directory = mkdtempSync(join(tmpdir(), "xeno-chromium-"));
  const where = [`--user-data-dir=${directory}`, "--remote-debugging-port=0", "--disable-gpu"];
  // As root there is no sandbox; the page is our own.
  const browser = spawn("chromium", ["--headless", "--no-sandbox", ...where, ...quiet, url], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { ...process.env, HOME: directory },
  });
  const exited = once(browser, "exit");
  t.teardown(async () => {
    // With all the processes that it started.
    if (browser.exitCode === null && browser.signalCode === null) process.kill(-browser.pid!, "SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  const origin = await readDebuggingAddress(browser.stderr);
  const socket = new WebSocket(await findPage(origin, url));
  t.teardown(() => socket.close());
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error("no DevTools")), { once: true });
  });
  let last = 0;
  return {
    async evaluate<Value>(expression: string) {
      const id = ++last;
      const answer = new Promise<DevToolsAnswer>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no answer to ${expression}`)), answerMs);
        const listen = ({ data }: MessageEvent) => {
          const message = JSON.parse(data as string) as DevToolsAnswer;
          if (message.id !== id) return;
          clearTimeout(timer);
          socket.removeEventListener("message", listen);
          resolve(message);
        };
        socket.addEventListener("message", listen);
      });
      const params = { expression, awaitPromise: true, returnByValue: true };
      socket.send(JSON.stringify({ id, method: "Runtime.evaluate", params }));
      const { result } = await answer;
      if (result.exceptionDetails !== undefined) throw new Error(JSON.stringify(result.exceptionDetails));
      return result.result.value as Value;
    },
  };
}

interface DevToolsAnswer {
  readonly id?: number;
  readonly result: { readonly result: { readonly value?: unknown }; readonly exceptionDetails?: unknown };
}

async function readDebuggingAddress(stderr: NodeJS.ReadableStream): Promise<string> {
  const lines = createInterface({ input: stderr });
  const timer = setTimeout(() => lines.close(), startMs);
  let said = "";
  for await (const line of lines) {
    said += `${line}\n`;
    const found = /DevTools listening on ws:\/\/([^/]+)\//.exec(line);
    if (found === null) continue;
    clearTimeout(timer);
    // What else it says is nobody's; unread it would stop at a full pipe.
    stderr.resume();
    return `http://${found[1]}`;
  }
  throw new Error(`chromium did not start:\n${said}`);
}

async function findPage(origin: string, url: string): Promise<string> {
  for (const end = Date.now() + startMs; Date.now() < end; ) {
    const targets = (await (await fetch(`${origin}/json/list`)).json()) as Record<string, string>[];
    const page = targets.find((target) => target.type === "page" && target.url!.startsWith(url));
    if (page !== undefined) return page.webSocketDebuggerUrl!;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`chromium does not show ${url}`);
}
