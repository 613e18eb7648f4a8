import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setGlobalProxyFromEnv } from 'node:http';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import * as z from 'zod';
import { caUnusable, plainHttpRefused } from '../errors.ts';

/** How the requests of an executor reach its instance. */
export const routeSchema = z.strictObject({
  /** A PEM file of certificate authorities that are trusted besides those of this system and of Node. */
  caFile: z.string().startsWith('/').nullable().default(null),
  /** An HTTP proxy that is asked to CONNECT. */
  proxy: z
    .strictObject({
      url: z
        .url({ protocol: /^http$/ })
        .refine(
          (url) => new URL(url).username === '',
          'must not contain a user or a password, because this file is not secret',
        ),
      /** Hosts that are reached without the proxy; `.example.com` stands for all its subdomains. Loopback never uses it. */
      except: z.array(z.string().regex(/^[A-Za-z0-9.:*_-]+$/)).default([]),
    })
    .nullable()
    .default(null),
  /**
   * Allows an instance without TLS. Anybody between the two machines can read everything then; on one machine, anybody who listens on
   * the port while the instance does not.
   */
  plainHttp: z.boolean().default(false),
});
export type Route = z.infer<typeof routeSchema>;

/**
 * Makes every later request of this process trust these certificates and use this proxy. Returns a function that undoes it.
 * Errors: `plain_http_refused`, `ca_unusable`.
 */
export async function applyRoute(
  instanceUrl: string,
  { caFile, proxy, plainHttp }: Route,
): Promise<() => void> {
  if (new URL(instanceUrl).protocol === 'http:' && !plainHttp) throw plainHttpRefused(instanceUrl);
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

/** Reads the certificates of a PEM file. Errors: `ca_unusable`. */
export async function readCertificates(file: string): Promise<string[]> {
  try {
    const text = await readFile(file, 'utf8');
    const found = text.match(/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs) ?? [];
    if (found.length === 0) throw new Error('it does not hold a certificate');
    return found.map((pem) => new X509Certificate(pem).toString());
  } catch (error) {
    throw caUnusable(file, (error as Error).message);
  }
}
