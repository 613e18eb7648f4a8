import { usage } from '../errors.ts';

/** Checks whether only this machine reaches a host of a URL. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host);

/**
 * Checks the address of an instance, and returns it without its last slash: `https:`, `http:` on loopback, either with the path under
 * which a proxy serves it, or `unix:` with the path of a socket. Errors: `usage`.
 */
export function instanceAddress(text: string): string {
  if (text.startsWith('unix:/')) return text;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol))
    throw usage(
      `${text} is not the address of an instance`,
      'Give it as https://HOST[:PORT][/PATH], or as unix: and the path of its socket.',
    );
  if (url.username || url.password || url.search || url.hash)
    throw usage(
      'the address of an instance holds neither a user, a password, a query nor a fragment',
      'Give it as https://HOST[:PORT][/PATH], and the access token in FUMEHOOD_TOKEN or on the stdin of `fumehood login`.',
    );
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    throw usage(
      `${text} is not encrypted: everybody on the way could read the access token`,
      'Use https://. docs/access.md says how an instance gets a certificate.',
    );
  return url.href.replace(/\/+$/, '');
}
