/**
 * Who may call a XenoServer's API. On its unix socket: who may open that, root. On TCP: who shows a key (identity/) that the
 * operator trusts, under the owner `operators` of the trust directory: `xeno key trust operators ed25519:…`. Trust is looked
 * up for each request, so that who is no longer trusted is refused at once.
 *
 * Whoever may call may do everything: there are no lesser rights.
 */
import type { TLSSocket } from "node:tls";
import { XenoError } from "../../cowfs/errors.ts";
import type { Trust } from "../../xenostore/keys/key-ring.ts";
import { readPeerKey } from "../identity/peer-key.ts";

export const operators = "operators";

/** Throws `caller-unknown` or `caller-untrusted`. */
export async function admitCaller(socket: TLSSocket, trust: Trust): Promise<void> {
  const peer = await readPeerKey(socket);
  if (peer === undefined)
    throw new XenoError("caller-unknown", "the caller shows no Ed25519 key", {
      hint: "name your key when you add the XenoServer: xeno server add … --key NAME",
    });
  if ((await trust.find(operators, peer.id)) !== undefined) return;
  throw new XenoError("caller-untrusted", `this XenoServer does not trust the key ${peer.publicKey}`, {
    hint: `its operator may run there: xeno key trust ${operators} ${peer.publicKey}`,
  });
}
