/**
 * A certificate for an Ed25519 key, as TLS needs one to show the key: self-signed, with nothing in it that anyone believes. Who the
 * other side is, its key alone says (peer-key.ts); the handshake proves that it has it.
 *
 * X.509 version 3 (RFC 5280) with Ed25519 (RFC 8410) in DER (X.690): every field but the key and the signature is fixed.
 */
import { createPublicKey, type KeyObject, sign } from "node:crypto";

const tag = {
  integer: 0x02,
  bits: 0x03,
  oid: 0x06,
  utf8: 0x0c,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
};

/** PEM. The same key gives the same certificate. */
export function makeCertificate(privateKey: KeyObject): string {
  // id-Ed25519, 1.3.101.112: without parameters.
  const algorithm = encode(tag.sequence, encode(tag.oid, Buffer.from([0x2b, 0x65, 0x70])));
  // commonName, 2.5.4.3
  const commonName = encode(tag.sequence, encode(tag.oid, Buffer.from([0x55, 0x04, 0x03])), text(tag.utf8, "xeno"));
  const name = encode(tag.sequence, encode(tag.set, commonName));
  // "No well-defined expiration date": RFC 5280 section 4.1.2.5. Trust ends where the key is no longer trusted.
  const validity = encode(tag.sequence, time("20200101000000Z"), time("99991231235959Z"));
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const toSign = encode(
    tag.sequence,
    encode(tag.version, encode(tag.integer, Buffer.from([2]))),
    encode(tag.integer, Buffer.from([1])),
    algorithm,
    name,
    validity,
    name,
    publicKey,
  );
  const signature = encode(tag.bits, Buffer.from([0]), sign(null, toSign, privateKey));
  const lines = encode(tag.sequence, toSign, algorithm, signature)
    .toString("base64")
    .match(/.{1,64}/g)!;
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function text(type: number, value: string): Buffer {
  return encode(type, Buffer.from(value, "utf8"));
}

function time(value: string): Buffer {
  return text(tag.generalizedTime, value);
}

/** Tag, length, content. */
function encode(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length > 0xffff) throw new Error("a DER element of ours is short");
  const lengths = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([type, ...lengths]), content]);
}
