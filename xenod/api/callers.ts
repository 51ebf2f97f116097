/**
 * Who may call a XenoServer's API. On its unix socket: who may open that, root. On TCP: who shows a key (identity/) that the
 * operator trusts, under the owner `operators` of the trust directory: `xeno key trust operators ed25519:…`. Trust is looked
 * up for each request, so that who is no longer trusted is refused at once.
 *
 * Whoever of these may call may do everything. A XenoServer NAME whose checkpoints are trusted here (`xenoserver+NAME`) may send domains
 * here, under `/v1/peers/NAME/`, and nothing else: a guest's memory is what a checkpoint holds, and comes with the same trust.
 */
import type { TLSSocket } from "node:tls";
import { XenoError } from "../../cowfs/errors.ts";
import type { Trust } from "../../xenostore/keys/key-ring.ts";
import { checkpointOwnerPrefix } from "../checkpoints/publish-checkpoint.ts";
import { readPeerKey } from "../identity/peer-key.ts";

/** The only form in which the routes of peers are reached: what is decoded or resolved differently is not admitted. */
const peerPath = /^\/v1\/peers\/([a-z0-9-]{1,40})\/receptions(?:[/?]|$)/;

export const operators = "operators";

/** Throws `caller-unknown` or `caller-untrusted`. */
export async function admitCaller(socket: TLSSocket, url: string | undefined, trust: Trust): Promise<void> {
  const peer = await readPeerKey(socket);
  if (peer === undefined)
    throw new XenoError("caller-unknown", "the caller shows no Ed25519 key", {
      hint: "name your key when you add the XenoServer: xeno server add … --key NAME",
    });
  if ((await trust.find(operators, peer.id)) !== undefined) return;
  const server = peerPath.exec(url ?? "")?.[1];
  if (server !== undefined) {
    const owner = `${checkpointOwnerPrefix}${server}`;
    if ((await trust.find(owner, peer.id)) !== undefined) return;
    throw new XenoError(
      "caller-untrusted",
      `this XenoServer does not trust the key ${peer.publicKey} for what ${server} sends`,
      {
        hint: `its operator may run there: xeno key trust ${owner} ${peer.publicKey}`,
      },
    );
  }
  throw new XenoError("caller-untrusted", `this XenoServer does not trust the key ${peer.publicKey}`, {
    hint: `its operator may run there: xeno key trust ${operators} ${peer.publicKey}`,
  });
}
