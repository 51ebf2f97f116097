/**
 * A store behind plain HTTP(S): any web server or CDN that serves the files of a directory store, read-only.
 *
 * Objects come by GET and Range (RFC 9110, section 14). There is no standard for lists: a server that is to list answers
 * a GET of a folder with nginx's `autoindex_format json`. Redirects are not followed: the operator named this server,
 * and what it says is not to lead us to another in the operator's own network.
 */
import { Agent, type Dispatcher, request } from "undici";
import { XenoError } from "../../cowfs/errors.ts";
import {
  checkKey,
  defaultMaximumBytes,
  type GetOptions,
  type ObjectStore,
  objectMissing,
  objectTooLarge,
  objectTooShort,
  PassingStoreError,
  type RequestOptions,
} from "./object-store.ts";
import { RemoteRequests, readRetryAfter } from "./remote/attempts.ts";
import { parseAutoindex } from "./remote/autoindex.ts";
import type { RemotePolicy } from "./remote/policy.ts";
import { parseContentRange, readBody } from "./remote/read-body.ts";
import type { Watchdog } from "./remote/watchdog.ts";

const connectMs = 10_000;
const maxListBytes = 16 * 2 ** 20;
const maxListed = 1_000_000;

type Answer = Dispatcher.ResponseData;

/** Nothing is asked before the first request. */
export function createHttpStore(url: URL, policy: RemotePolicy): ObjectStore {
  return new HttpStore(url, policy);
}

class HttpStore implements ObjectStore {
  readonly name: string;
  readonly #base: string;
  readonly #requests: RemoteRequests;
  readonly #agent: Agent;

  constructor(url: URL, policy: RemotePolicy) {
    this.#base = url.href.replace(/\/*$/, "/");
    this.name = `the store ${this.#base}`;
    this.#requests = new RemoteRequests(policy);
    // Times are the watchdog's business, connections those of the queue.
    const { concurrency } = policy;
    this.#agent = new Agent({
      connections: concurrency,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: connectMs },
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    checkKey(key);
    const { range, maximumBytes = defaultMaximumBytes, signal } = options;
    if (range !== undefined && range.length > maximumBytes) throw objectTooLarge(key, range.length, maximumBytes);
    if (range?.length === 0) return Buffer.alloc(0);
    const headers = range && { range: `bytes=${range.start}-${range.start + range.length - 1}` };
    return await this.#ask("GET", key, headers, signal, async (answer, watchdog) => {
      if (isMissing(answer, key)) throw objectMissing(this, key);
      if (answer.statusCode === 416) throw objectTooShort(this, key, readTotal(answer) ?? 0);
      const length = readNumber(answer.headers["content-length"]);
      if (range === undefined) {
        if (answer.statusCode !== 200) throw this.#refuse(answer, key);
        return await readBody(answer.body, { store: this, key, length, maximumBytes }, watchdog);
      }
      if (answer.statusCode !== 206) throw this.#refuse(answer, key);
      const given = parseContentRange(String(answer.headers["content-range"]));
      if (given?.start !== range.start || given.length > range.length) throw this.#refuse(answer, key);
      if (given.length < range.length) throw objectTooShort(this, key, range.start + given.length);
      const expected = { store: this, key, length: range.length, maximumBytes };
      return await readBody(answer.body, expected, watchdog);
    });
  }

  async stat(key: string, { signal }: RequestOptions = {}): Promise<{ bytes: number } | undefined> {
    checkKey(key);
    return await this.#ask("HEAD", key, undefined, signal, async (answer) => {
      if (isMissing(answer, key)) return undefined;
      const bytes = readNumber(answer.headers["content-length"]);
      if (answer.statusCode !== 200 || bytes === undefined) throw this.#refuse(answer, key);
      return { bytes };
    });
  }

  async holds(key: string, bytes: Buffer, { signal }: RequestOptions = {}): Promise<boolean> {
    if ((await this.stat(key, { signal }))?.bytes !== bytes.length) return false;
    return (await this.get(key, { maximumBytes: bytes.length, signal })).equals(bytes);
  }

  async list(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    const start = prefix.replace(/\/$/, "");
    if (start !== "") checkKey(start);
    const keys: string[] = [];
    const folders = [start];
    for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
      for (const { name, isFolder } of await this.#listFolder(at, signal)) {
        const key = at === "" ? name : `${at}/${name}`;
        if (isFolder && key !== "tmp") folders.push(key);
        else if (!isFolder && key !== "lock") keys.push(key);
      }
      if (keys.length + folders.length > maxListed)
        throw new XenoError("store-unavailable", `${this.name} lists more than ${maxListed} objects`);
    }
    return keys.sort((a, b) => (a < b ? -1 : 1));
  }

  putIfAbsent(key: string): Promise<never> {
    return this.#refuseWriting(key);
  }

  replace(key: string): Promise<never> {
    return this.#refuseWriting(key);
  }

  compareAndSet(key: string): Promise<never> {
    return this.#refuseWriting(key);
  }

  delete(key: string): Promise<never> {
    return this.#refuseWriting(key);
  }

  async #refuseWriting(key: string): Promise<never> {
    checkKey(key);
    throw new XenoError("store-read-only", `${this.name} is read over HTTP: ${key} cannot be written there`, {
      hint: "Publish to the directory or the bucket that the web server serves.",
    });
  }

  async #listFolder(folder: string, signal: AbortSignal | undefined) {
    return await this.#ask("GET", folder === "" ? "" : `${folder}/`, undefined, signal, async (answer, watchdog) => {
      if (answer.statusCode === 404) return [];
      if (answer.statusCode !== 200) throw this.#cannotList(folder);
      const length = readNumber(answer.headers["content-length"]);
      const text = await readBody(
        answer.body,
        { store: this, key: folder, length, maximumBytes: maxListBytes },
        watchdog,
      );
      const entries = parseAutoindex(text.toString());
      if (entries === undefined) throw this.#cannotList(folder);
      return entries;
    });
  }

  #cannotList(folder: string): XenoError {
    return new XenoError("store-unlisted", `${this.name} does not list ${folder === "" ? "its root" : folder}`, {
      hint: "Names that are written whole work without lists. With nginx: autoindex on; autoindex_format json;",
    });
  }

  async #ask<T>(
    method: "GET" | "HEAD",
    path: string,
    headers: Record<string, string> | undefined,
    signal: AbortSignal | undefined,
    take: (answer: Answer, watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    const url = this.#base + path.split("/").map(encodeURIComponent).join("/");
    return await this.#requests.run(signal, async (watchdog) => {
      let answer: Answer | undefined;
      try {
        answer = await request(url, {
          method,
          headers: { ...headers, "accept-encoding": "identity" },
          dispatcher: this.#agent,
          signal: watchdog.signal,
        });
        watchdog.touch();
        const { statusCode } = answer;
        if (statusCode === 429 || statusCode >= 500) throw this.#refuse(answer, path);
        return await take(answer, watchdog);
      } catch (error) {
        if (error instanceof XenoError) throw error;
        const reason = watchdog.reason ?? describe(error);
        throw new PassingStoreError("store-unavailable", `${this.name} cannot be reached: ${reason}`, {
          cause: error,
          hint: "Check the network, and that the server runs; then try again.",
        });
      } finally {
        // A body that nobody reads would hold its connection.
        if (answer !== undefined && !answer.body.readableEnded) answer.body.on("error", () => {}).destroy();
      }
    });
  }

  #refuse({ statusCode, headers }: Answer, key: string): XenoError {
    const retryAfterMs = readRetryAfter(headers["retry-after"] as string | undefined);
    if (statusCode === 429)
      return new PassingStoreError("store-throttled", `${this.name} asks for fewer requests (429)`, { retryAfterMs });
    if (statusCode >= 500)
      return new PassingStoreError("store-unavailable", `${this.name} fails for ${key} (${statusCode})`, {
        retryAfterMs,
      });
    if (statusCode === 401 || statusCode === 403)
      return new XenoError("store-credentials", `${this.name} does not let us read ${key} (${statusCode})`, {
        hint: "A store over HTTP is read without credentials: let this machine's address in.",
      });
    const [message, hint] =
      statusCode >= 300 && statusCode < 400
        ? ["redirects us to somewhere else", "Name the server that it redirects to, if that is meant."]
        : statusCode === 200
          ? ["does not answer range requests", "Serve the store with a server that does, such as nginx."]
          : ["gives an answer that makes no sense", "Check that the URL is that of a store."];
    return new XenoError("store-unavailable", `${this.name} ${message} for ${key} (${statusCode})`, { hint });
  }
}

/** Web servers redirect from a folder's name to the same with a slash. */
function isMissing({ statusCode, headers }: Answer, key: string): boolean {
  return statusCode === 404 || statusCode === 410 || (statusCode === 301 && `${headers.location}`.endsWith(`${key}/`));
}

function readTotal({ headers }: Answer): number | undefined {
  return readNumber(/^bytes \*\/(\d+)$/.exec(String(headers["content-range"]))?.[1]);
}

function readNumber(header: string | string[] | undefined): number | undefined {
  return typeof header === "string" && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
