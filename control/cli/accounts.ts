/** This user's accounts at XenoCorps: `$XENO_HOME/accounts/`, a file for each XenoCorp and role. The key stays in the key ring. */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { readStateFile, writeStateFile } from "../../xenod/state-file.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { CorporationClient } from "../corporation/client.ts";
import type { Role } from "../credentials/credential.ts";
import type { Home } from "./home.ts";

export interface Account {
  readonly format: 1;
  /** The XenoCorp's address. */
  readonly corporation: string;
  readonly role: Role;
  readonly holder: string;
  readonly credential: string;
  /** Its name in the key ring. */
  readonly key: string;
}

export async function saveAccount(home: Home, account: Account): Promise<void> {
  await writeStateFile(accountFile(home, account.corporation, account.role), account);
}

/** Throws `account-missing`. */
export async function loadAccount(home: Home, corporation: string, role: Role): Promise<Account> {
  const account = await readStateFile<Account>(accountFile(home, corporation, role), 1);
  if (account !== undefined) return account;
  throw new XenoError("account-missing", `you are no ${role} of ${corporation}`, {
    hint: `xeno corporation register ${corporation} --role ${role} --name … --key …`,
  });
}

export async function listAccounts(home: Home): Promise<Account[]> {
  const files = await fs.readdir(home.at("accounts")).catch(() => []);
  const accounts = await Promise.all(
    files.filter((file) => file.endsWith(".json")).map((file) => readStateFile<Account>(home.at("accounts", file), 1)),
  );
  return accounts.filter((account) => account !== undefined);
}

/** Asks as this user. */
export async function openAccount(home: Home, corporation: string, role: Role): Promise<CorporationClient> {
  const { key, credential } = await loadAccount(home, corporation, role);
  return new CorporationClient(corporation, await loadKey(home.keys, key), credential);
}

/** `https://host:port`, without a path. Throws `address-invalid`. */
export function parseAddress(text: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "") return url.origin;
  throw new XenoError("address-invalid", `${JSON.stringify(text)} is no address of a service`, {
    hint: "write scheme, host and port: https://corp.example or http://127.0.0.1:9000",
  });
}

function accountFile(home: Home, corporation: string, role: Role): string {
  return path.join(home.at("accounts"), `${encodeURIComponent(corporation)}.${role}.json`);
}
