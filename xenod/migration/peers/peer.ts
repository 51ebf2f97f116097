/** Another XenoServer, as the operator names it to the one that sends. */
import { type Static, Type } from "typebox";

export const serverNamePattern = "^[a-z0-9-]{1,40}$";

export const Peer = Type.Object(
  {
    name: Type.String({ pattern: serverNamePattern }),
    url: Type.String({ pattern: "^https://[^/\\s]{1,250}$", description: "Where its API answers: https://HOST:PORT" }),
    publicKey: Type.String({ pattern: "^ed25519:[A-Za-z0-9_-]{43}$", description: "Who answers there." }),
  },
  { additionalProperties: false },
);
export type Peer = Static<typeof Peer>;
