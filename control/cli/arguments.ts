/** What commands take beside URLs. Whatever is malformed is wrong usage, refused before anything is looked at. */
import { InvalidArgumentError } from "commander";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface DomainTarget {
  readonly server: string;
  readonly domain: string;
}

/** A whole number from 1. */
export function parseNumber(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("A whole number from 1 is needed.");
  return number;
}

/** `127.0.0.1:20490`, `[::1]:20490`; port 0 takes any. */
export function parseListen(text: string): HostPort {
  const match = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) throw new InvalidArgumentError("HOST:PORT is needed, such as 127.0.0.1:20490.");
  return { host: match[1].replace(/^\[(.*)\]$/, "$1"), port };
}

/** `8080:80`; host port 0 takes any. */
export function parsePorts(text: string): { readonly host: number; readonly guest: number } {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  const [host, guest] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || host > 65_535 || guest > 65_535 || guest === 0)
    throw new InvalidArgumentError("HOST-PORT:GUEST-PORT is needed, such as 8080:80.");
  return { host, guest };
}

/** `a,b,c`, each once. */
export function parseServers(text: string): string[] {
  const names = text.split(",");
  if (names.includes("")) throw new InvalidArgumentError("Names separated by commas are needed, such as a,b,c.");
  return [...new Set(names)];
}

/** `a/apache` */
export function parseDomain(text: string): DomainTarget {
  const [server, domain, ...rest] = text.split("/");
  if (!server || !domain || rest.length > 0)
    throw new InvalidArgumentError("SERVER/DOMAIN is needed, as `xeno ps` lists them.");
  return { server, domain };
}
