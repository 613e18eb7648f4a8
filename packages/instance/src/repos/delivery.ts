import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { WebhookSender } from '@fumehood/protocol';

/** What the headers of a delivery say. Only the signature and `sentAt` are worth anything, once the signature was checked. */
export interface Delivery {
  readonly sender: WebhookSender;
  readonly event: string;
  /** What the code host calls the delivery; null if it does not say. */
  readonly id: string | null;
  /** The HMAC-SHA256 that it should have. */
  readonly signature: Buffer;
  /** Seconds since 1970, which are signed with the body; null: the sender signs no time. */
  readonly sentAt: number | null;
}

const hex = /^[0-9a-f]{64}$/;
const hexWithName = /^sha256=[0-9a-f]{64}$/;

/**
 * Reads the headers of a delivery; null if they have no signature of a known form. GitHub's `X-Hub-Signature-256` is `sha256=` and
 * hexadecimal digits, Gitea's `X-Gitea-Signature` (Forgejo sends it, too) the digits alone. Gitea sends GitHub's headers as well, and its
 * own ones count. `X-Fumehood-Signature` is for everybody else.
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
      signature: Buffer.from(signature.replace('sha256=', ''), 'hex'),
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
  return of('github', hexWithName, text('x-hub-signature-256') ?? '', text('x-github-event'));
}

/** Whether a delivery with this body is signed with the secret. The time that it takes says nothing about the signature. */
export function isSigned({ sentAt, signature }: Delivery, body: Buffer, secret: string): boolean {
  const expected = createHmac('sha256', secret).update(timeOf(sentAt)).update(body).digest();
  return timingSafeEqual(expected, signature);
}

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

/** The events of GitHub and Gitea after which a branch or a tag is another one. */
const changing = ['push', 'create', 'delete'];

/** Whether the sender says that a branch or a tag is another one now. */
export const changesRefs = ({ event }: Delivery): boolean => changing.includes(event);
