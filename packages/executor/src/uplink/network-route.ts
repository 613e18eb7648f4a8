import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setGlobalProxyFromEnv } from 'node:http';
import { isIPv4 } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { z } from 'zod';
import { caUnusable, plainHttpRefused } from '../errors.ts';

/** How the requests of an executor get to its instance. */
export const routeSchema = z.strictObject({
  /** PEM: who may vouch for the instance, besides whom this system and Node trust. */
  caFile: z.string().startsWith('/').nullable().default(null),
  /** An HTTP proxy, which is asked to CONNECT. */
  proxy: z
    .strictObject({
      url: z
        .url({ protocol: /^http$/ })
        .refine((url) => new URL(url).username === '', 'must have no password: this file is no secret'),
      /** Hosts that are reached without it, `.example.com` with all below; loopback always is. */
      except: z.array(z.string().regex(/^[A-Za-z0-9.:*_-]+$/)).default([]),
    })
    .nullable()
    .default(null),
  /** The instance may be on another machine and speak without TLS. Whoever is in between reads everything then. */
  plainHttp: z.boolean().default(false),
});
export type Route = z.infer<typeof routeSchema>;

/**
 * Has every request of this process go this way, from now on. Errors: `plain_http_refused`, `ca_unusable`. Returns what puts
 * things back.
 */
export async function takeRoute(
  instanceUrl: string,
  { caFile, proxy, plainHttp }: Route,
): Promise<() => void> {
  const { protocol, hostname } = new URL(instanceUrl);
  if (protocol === 'http:' && !plainHttp && !isLoopback(hostname)) throw plainHttpRefused(instanceUrl);
  const before = getCACertificates('default');
  const own = caFile === null ? [] : await readCertificates(caFile);
  setDefaultCACertificates([
    ...new Set([...getCACertificates('bundled'), ...getCACertificates('system'), ...own]),
  ]);
  const restoreProxy = setGlobalProxyFromEnv(
    proxy
      ? {
          http_proxy: proxy.url,
          https_proxy: proxy.url,
          no_proxy: ['localhost', '127.0.0.1', '[::1]', ...proxy.except].join(','),
        }
      : {},
  );
  return () => {
    restoreProxy();
    setDefaultCACertificates(before);
  };
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))
  );
}

async function readCertificates(file: string): Promise<string[]> {
  try {
    const text = await readFile(file, 'utf8');
    const found = text.match(/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs) ?? [];
    if (found.length === 0) throw new Error('it holds no certificate');
    return found.map((pem) => new X509Certificate(pem).toString());
  } catch (error) {
    throw caUnusable(file, (error as Error).message);
  }
}
