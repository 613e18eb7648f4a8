import type { IncomingMessage } from 'node:http';
import { Transform } from 'node:stream';
import type { BrokerGrant } from '@fumehood/protocol';
import type { Replacements } from './replace.ts';
import { Refused } from './upstream.ts';
import { guestUrlOf, type Target } from './targets.ts';

/** Fields that go from a guest to a server. None can change the method, the path or the host that were checked. */
const requestFields = [
  'accept',
  'accept-language',
  'content-encoding',
  'content-length',
  'content-type',
  'git-protocol',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'user-agent',
];
/** Fields that go from a server to a guest. */
const answerFields = [
  'accept-ranges',
  'age',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'link',
  'retry-after',
  'vary',
];
/** A shorter secret occurs in answers by chance, characters. */
const maskedMin = 8;

/** Returns the fields of a guest's request that the server gets. Bytes come as they are, so that a credential can be found in them. */
export function requestHeaders(
  { headers }: IncomingMessage,
  { grant, isPrimary }: Target,
): Record<string, string> {
  const kept = pick(headers, requestFields);
  const { credential } = grant;
  return {
    ...kept,
    'accept-encoding': 'identity',
    ...(isPrimary && credential && { [credential.header]: credential.value }),
  };
}

/** Returns the texts that nobody may see of a credential: what follows the scheme, if there is one, and the password of a user. */
export function secretsOf({ credential }: BrokerGrant): string[] {
  if (!credential) return [];
  const { value } = credential;
  const [, scheme, rest = value] = /^(\S+) +(\S.*)$/.exec(value) ?? [];
  const plain = scheme?.toLowerCase() === 'basic' ? Buffer.from(rest, 'base64').toString() : '';
  const password = plain.slice(plain.indexOf(':') + 1);
  return [rest, password].filter((text) => text !== '');
}

/** How an answer goes to the guest, or why it does not. */
type Answer =
  | { readonly refused: string }
  | { readonly headers: Record<string, string>; readonly replacements: Replacements };

/** Decides what the guest gets of an answer of a server. */
export function answerOf(
  answer: IncomingMessage,
  target: Target,
  targets: ReadonlyMap<string, Target>,
  path: string,
): Answer {
  const { grant } = target;
  const status = answer.statusCode ?? 0;
  const secrets = secretsOf(grant).filter((text) => text.length >= maskedMin);
  const headers = pick(answer.headers, answerFields);
  for (const [name, value] of Object.entries(headers))
    if (secrets.some((secret) => value.includes(secret))) delete headers[name];
  const masks = secrets.map((secret) => [secret, '*'.repeat(secret.length)] as const);
  const { location } = answer.headers;
  if (location !== undefined && status >= 300 && status < 400) {
    const at = `${target.protocol}//${target.host}${path}`;
    const url = URL.canParse(location, at) ? new URL(location, at) : null;
    const guestUrl = url && guestUrlOf(targets, grant, url);
    if (guestUrl === null)
      return { refused: `the server leads to ${url?.origin ?? 'no address'}, outside of what the entry has` };
    headers.location = guestUrl;
  }
  const links = isIndex(grant, answer) ? linksOf(targets, grant) : [];
  if (links.length === 0) return { headers, replacements: masks };
  if (headers['content-encoding'])
    return { refused: 'the server compressed an index, which it was asked not to' };
  const { 'content-length': _, 'accept-ranges': __, ...rewritten } = headers;
  return { headers: rewritten, replacements: [...masks, ...links] };
}

/** Returns whether an answer lists files by addresses that the guest has to find at the broker. */
function isIndex({ kind }: BrokerGrant, { headers, statusCode }: IncomingMessage): boolean {
  const type = headers['content-type'] ?? '';
  return (
    kind === 'pypi' &&
    statusCode === 200 &&
    /^(?:text\/html|application\/(?:json|vnd\.pypi\.simple\.))/.test(type)
  );
}

function linksOf(targets: ReadonlyMap<string, Target>, grant: BrokerGrant): Replacements {
  return [...targets.values()]
    .filter((target) => target.grant === grant)
    .map(({ protocol, host, guestHost }) => [`${protocol}//${host}/`, `http://${guestHost}/`]);
}

function pick(headers: IncomingMessage['headers'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}

/** Tells about bytes that came, with what goes on, or ends with an error. */
export type Count = (bytes: number, goOn: (error?: Error) => void) => void;

/** Counts bytes, and ends with an error at more than `max`, of which `tooLarge` is told first. */
export function countingStream(max: number, count: Count, tooLarge: AbortController): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      total += chunk.length;
      if (total <= max) return count(chunk.length, (error) => (error ? done(error) : done(null, chunk)));
      tooLarge.abort(new Refused('it has more bytes than it may have', 'bytes'));
      done(tooLarge.signal.reason as Error);
    },
  });
}
