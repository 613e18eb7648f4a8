import { describe, expect, it } from 'vitest';
import { skopeoError } from './skopeo-error.ts';

const password = 'p"ss?w:rd';
const auth = Buffer.from(`user:${password}`).toString('base64');
const auths = { 'registry.test': { auth } };
/** Returns a message in skopeo's log format. */
const fatal = (message: string) =>
  `time="2026-01-01T00:00:00Z" level=fatal msg="${message.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
const explain = (message: string) => skopeoError('a:1', message, auths);

describe("skopeo's last message", () => {
  it.each([
    ['reading manifest 1 in x: manifest unknown: manifest unknown', 'image_not_found'],
    ['reading manifest 1 in x: name unknown', 'image_not_found'],
    ['unauthorized: authentication required', 'registry_unauthorized'],
    ['errors:\ndenied: requested access to the resource is denied', 'registry_unauthorized'],
    ['received unexpected HTTP status: 403 Forbidden', 'registry_unauthorized'],
    ['toomanyrequests: You have reached your pull rate limit', 'registry_unreachable'],
    ['Get "https://x/v2/": socks connect tcp 127.0.0.1:1->x:443: host unreachable', 'registry_unreachable'],
    ['Get "https://x/v2/": x509: certificate signed by unknown authority', 'registry_unreachable'],
    ['received unexpected HTTP status: 503 Service Unavailable', 'registry_unreachable'],
    ['writing blob: Digest did not match, expected sha256:0, got sha256:1', 'image_invalid'],
    ['writing blob: write /out/dir-put-blob1: file too large', 'image_too_big'],
    ['exceeded maximum allowed size of 4194304 bytes', 'image_too_big'],
    ['', 'registry_unreachable'],
  ])('%j gives %s', (words, code) => {
    expect(explain(fatal(words).replaceAll('\n', String.raw`\n`)).code).toBe(code);
  });

  it('is shown without the image name that it begins with', () => {
    const { message } = explain(fatal('Error parsing image name "docker://a:1": reading x: EOF'));
    expect(message).toBe('the registry could not be asked for a:1: reading x: EOF');
  });

  it('is shown shortened, without credentials, queries and control characters', () => {
    const words = `\u001b[31m${auth} user:${password} ${password} https://cdn/x?X-Signature=abc ${'y'.repeat(5_000)} ${password}`;
    const { message } = explain(fatal(words));
    for (const secret of [auth, password, 'X-Signature', '\u001b']) expect(message).not.toContain(secret);
    expect(message.length).toBeLessThan(400);
  });

  it('does not show the rest of a credential that was cut off', () => {
    const cut = `${auth.slice(3)} ${auth.repeat(20)}"`;
    expect(explain(cut).message).not.toContain(auth.slice(-6));
  });
});
