/**
 * The asking side. Every request has a deadline. While the server restarts, requests are tried again within a bound: each of
 * them may be sent twice, so each must be one that does its work once however often it comes.
 */
import type { Duplex, Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Pool } from "undici";
import { XenoError } from "../../cowfs/errors.ts";
import { describeEndpoint, type Endpoint, openPool } from "./endpoint.ts";
import type { ErrorBody } from "./json-server.ts";

export interface JsonClientOptions {
  readonly endpoint: Endpoint;
  /** Who answers there, for messages. */
  readonly server: string;
  /** What to do when nobody does. */
  readonly hint: string;
  /** Default 30,000. */
  readonly deadlineMs?: number;
  /** Until TLS is there. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** How long a server may be away before a request fails. Default 10,000. */
  readonly patienceMs?: number;
  /** Told of each request and its payload in both directions. */
  readonly onTraffic?: (bytes: number) => void;
}

export interface JsonRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

const retryMs = 50;
const syncTimeoutMs = 300_000;
const maxConnections = 32;
const maxResponseBytes = 16 * 1024 * 1024;
/** Nobody listens, or who listened has gone. */
const absent = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENOENT",
  "ECONNRESET",
  "EPIPE",
  "UND_ERR_SOCKET",
  "UND_ERR_CLOSED",
]);

export class JsonClient {
  readonly #options: JsonClientOptions;
  readonly #pool: Pool;

  constructor(options: JsonClientOptions) {
    this.#options = options;
    this.#pool = openPool(options.endpoint, {
      maxResponseSize: maxResponseBytes,
      // Requests may wait for long on the other side, so none stands behind another.
      pipelining: 1,
      connections: maxConnections,
      connectTimeout: options.connectTimeoutMs,
    });
  }

  /** The answer's JSON, or its text. Rejects with the XenoError that the server threw, or `server-unreachable`. */
  async request<T>(request: JsonRequest): Promise<T> {
    const end = performance.now() + (this.#options.patienceMs ?? 10_000);
    for (;;) {
      request.signal?.throwIfAborted();
      try {
        return await this.#ask<T>(request);
      } catch (error) {
        if (error instanceof XenoError) throw error;
        request.signal?.throwIfAborted();
        if (!absent.has((error as NodeJS.ErrnoException).code ?? "") || performance.now() > end)
          throw this.#unreachable(request, error as Error);
      }
      await delay(retryMs, undefined, { signal: request.signal });
    }
  }

  /** Sends so many bytes, once. Rejects as `request` does; the content is destroyed then. */
  async sendBytes(path: string, content: Readable | Buffer, bytes: number, signal: AbortSignal): Promise<void> {
    try {
      const response = await this.#pool.request({
        method: "PUT",
        path,
        body: content,
        headers: { "content-type": "application/octet-stream", "content-length": String(bytes) },
        signal,
        // From the last byte on: the other side may have to sync them all.
        headersTimeout: syncTimeoutMs,
      });
      const text = await response.body.text();
      this.#options.onTraffic?.(bytes + Buffer.byteLength(text));
      if (response.statusCode >= 400) throw readError(text, response.statusCode);
    } catch (error) {
      if (error instanceof XenoError || signal.aborted) throw error;
      throw this.#unreachable({ method: "PUT", path }, error as Error);
    } finally {
      if (!Buffer.isBuffer(content)) content.destroy();
    }
  }

  /** The answer's bytes as they come, for as long as they do. Rejects as `request` does. */
  async stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    try {
      const response = await this.#pool.request({ method: "GET", path, signal, bodyTimeout: 0 });
      if (response.statusCode >= 400) throw readError(await response.body.text(), response.statusCode);
      return response.body;
    } catch (error) {
      if (error instanceof XenoError || signal.aborted) throw error;
      throw this.#unreachable({ method: "GET", path }, error as Error);
    }
  }

  /** The connection itself, once the server has given it over to `protocol` (RFC 9110 section 7.8). */
  async upgrade(path: string, protocol: string, signal: AbortSignal): Promise<Duplex> {
    try {
      return (await this.#pool.upgrade({ path, protocol, signal })).socket;
    } catch (error) {
      if (error instanceof XenoError || signal.aborted) throw error;
      throw this.#unreachable({ method: "GET", path }, error as Error);
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #ask<T>({ method, path, body, deadlineMs, signal }: JsonRequest): Promise<T> {
    const deadline = AbortSignal.timeout(deadlineMs ?? this.#options.deadlineMs ?? 30_000);
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const response = await this.#pool.request({
      method,
      path,
      body: sent,
      headers: sent === undefined ? {} : { "content-type": "application/json" },
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      // The deadline is the only bound.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    const text = await response.body.text();
    this.#options.onTraffic?.(Buffer.byteLength(sent ?? "") + Buffer.byteLength(text));
    if (response.statusCode >= 400) throw readError(text, response.statusCode);
    const isJson = String(response.headers["content-type"] ?? "").startsWith("application/json");
    return (isJson ? JSON.parse(text) : text) as T;
  }

  #unreachable({ method, path }: JsonRequest, cause: Error): XenoError {
    const { server, endpoint, hint } = this.#options;
    const reason = cause.name === "TimeoutError" ? "no answer in time" : cause.message || cause.name;
    return new XenoError(
      "server-unreachable",
      `${server} at ${describeEndpoint(endpoint)}: ${method} ${path}: ${reason}`,
      {
        hint,
        cause,
      },
    );
  }
}

function readError(text: string, status: number): XenoError {
  try {
    const { code, message, hint } = JSON.parse(text) as ErrorBody;
    if (typeof code === "string" && typeof message === "string") return new XenoError(code, message, { hint });
  } catch {}
  return new XenoError("answer-unknown", `the server answered ${status}: ${text.slice(0, 200)}`);
}
