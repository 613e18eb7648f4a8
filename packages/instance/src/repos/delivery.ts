import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { WebhookSender } from '@fumehood/protocol';

/** What the headers of a delivery say. Only the proof and `sentAt` are worth anything, once the signature was checked. */
export interface Delivery {
  readonly sender: WebhookSender;
  readonly event: string;
  /** What the code host calls the delivery; null if it does not say. */
  readonly id: string | null;
  /** By which its sender shows that it has the secret: an HMAC-SHA256 that it should have, one of several, or the secret itself. */
  readonly proof:
    | { readonly signature: Buffer }
    | { readonly signatures: readonly Buffer[]; readonly signedId: string }
    | { readonly secret: string };
  /** Seconds since 1970, which are signed with the body; null: the sender signs no time. */
  readonly sentAt: number | null;
}

const hex = /^[0-9a-f]{64}$/;
const hexWithName = /^sha256=[0-9a-f]{64}$/;

/**
 * Reads the headers of a delivery; null if they have no proof of a known form. GitHub's `X-Hub-Signature-256` is `sha256=` and
 * hexadecimal digits, Gitea's `X-Gitea-Signature` (Forgejo sends it, too) the digits alone. Gitea sends GitHub's headers as well, and its
 * own ones count. GitLab sends the secret as `X-Gitlab-Token` or, with a signing token, signs as Standard Webhooks has it
 * (gitlab.com/gitlab-org/gitlab, merge request 230944), which counts more. `X-Fumehood-Signature` is for everybody else.
 */
export function readDelivery(headers: IncomingHttpHeaders): Delivery | null {
  const text = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const of = (sender: WebhookSender, form: RegExp, signature: string, event: string | undefined) => {
    if (!form.test(signature) || !/^[a-z_]{1,50}$/.test(event ?? '')) return null;
    const id = text(`x-${sender}-delivery`) ?? '';
    return {
      ...{ sender, event: event as string, id: /^[\w-]{1,100}$/.test(id) ? id : null, sentAt: null },
      proof: { signature: Buffer.from(signature.replace('sha256=', ''), 'hex') },
    };
  };
  const own = text('x-fumehood-signature');
  if (own !== undefined) {
    const time = text('x-fumehood-timestamp') ?? '';
    const delivery = of('generic', hexWithName, own, 'push');
    return delivery && /^[1-9]\d{9}$/.test(time) ? { ...delivery, sentAt: Number(time) } : null;
  }
  const gitea = text('x-gitea-signature');
  if (gitea !== undefined) return of('gitea', hex, gitea, text('x-gitea-event'));
  const gitlab = ofGitlab(text('x-gitlab-event'), text('x-gitlab-event-uuid'));
  const standard = text('webhook-signature');
  if (gitlab && standard !== undefined)
    return ofStandard(gitlab, standard, text('webhook-id') ?? '', text('webhook-timestamp') ?? '');
  const secret = text('x-gitlab-token');
  if (secret !== undefined)
    return gitlab && /^[\x21-\x7e]{1,200}$/.test(secret)
      ? { ...gitlab, proof: { secret }, sentAt: null }
      : null;
  return of('github', hexWithName, text('x-hub-signature-256') ?? '', text('x-github-event'));
}

/** GitLab's events have names such as `Merge Request Hook`. */
function ofGitlab(
  hook: string | undefined,
  uuid: string | undefined,
): Omit<Delivery, 'proof' | 'sentAt'> | null {
  const event = (hook ?? '')
    .replace(/ Hook$/, '')
    .toLowerCase()
    .replaceAll(' ', '_');
  if (!/^[a-z_]{1,50}$/.test(event)) return null;
  const id = /^[\w-]{1,100}$/.test(uuid ?? '') ? (uuid ?? null) : null;
  return { sender: 'gitlab', event, id };
}

/** Most signatures of a delivery that are compared: there are several while a secret is replaced. */
const signaturesMax = 5;

/** Signatures are `v1,` and 32 bytes in base64, with blanks between them. */
function ofStandard(
  delivery: Omit<Delivery, 'proof' | 'sentAt'>,
  header: string,
  signedId: string,
  time: string,
): Delivery | null {
  const signatures = header
    .split(' ')
    .slice(0, signaturesMax)
    .filter((one) => /^v1,[A-Za-z0-9+/]{43}=$/.test(one))
    .map((one) => Buffer.from(one.slice(3), 'base64'));
  if (signatures.length === 0 || !/^[\w.-]{1,100}$/.test(signedId) || !/^[1-9]\d{9}$/.test(time)) return null;
  return { ...delivery, proof: { signatures, signedId }, sentAt: Number(time) };
}

/** Whether the sender of a delivery with this body has the secret. The time that it takes says nothing about the proof. */
export function isSigned({ sentAt, proof }: Delivery, body: Buffer, secret: string): boolean {
  if ('secret' in proof) return timingSafeEqual(sha256(proof.secret), sha256(secret));
  if ('signature' in proof) {
    const expected = createHmac('sha256', secret).update(timeOf(sentAt)).update(body).digest();
    return timingSafeEqual(expected, proof.signature);
  }
  const [, key] = /^whsec_([A-Za-z0-9+/]+=*)$/.exec(secret) ?? [];
  if (key === undefined) return false;
  const expected = createHmac('sha256', Buffer.from(key, 'base64'))
    .update(`${proof.signedId}.${timeOf(sentAt)}`)
    .update(body)
    .digest();
  return proof.signatures.some((one) => timingSafeEqual(expected, one));
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();

/** Returns the SHA-256 of everything that is signed of a delivery. Whoever repeats it can change everything else. */
export function digestOf({ sentAt }: Delivery, body: Buffer): Buffer {
  return createHash('sha256').update(timeOf(sentAt)).update(body).digest();
}

const timeOf = (sentAt: number | null) => (sentAt === null ? '' : `${sentAt}.`);

/** How many seconds the time of a delivery may be off. */
export const offMax = 300;

/** Returns how many seconds the time of a delivery is off; 0 for one without a time. `now`: milliseconds since 1970. */
export function secondsOff({ sentAt }: Delivery, now: number): number {
  return sentAt === null ? 0 : Math.round(Math.abs(now / 1_000 - sentAt));
}

/** The events of GitHub, Gitea and GitLab after which a branch or a tag is another one. */
const changing = ['push', 'create', 'delete', 'tag_push'];

/** Whether the sender says that a branch or a tag is another one now. */
export const changesRefs = ({ event }: Delivery): boolean => changing.includes(event);
