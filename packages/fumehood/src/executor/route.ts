import { resolve } from 'node:path';
import { type Route, routeSchema } from '@fumehood/executor';
import { usage } from '../errors.ts';

/**
 * Returns the way to an instance: through the proxy of the option, or of the environment variables that other programs read, with the
 * exceptions of NO_PROXY, and with the certificate authorities of the option, or of NODE_EXTRA_CA_CERTS. HTTP without TLS is for loopback alone, which `instanceAddress` checks. Errors: `usage`.
 */
export function routeOf(
  { url, caFile, proxy }: { url: string; caFile: string | undefined; proxy: string | undefined },
  environment: NodeJS.ProcessEnv,
): Route {
  const certificates = caFile ?? environment.NODE_EXTRA_CA_CERTS;
  const asked = proxy ?? environment.HTTPS_PROXY ?? environment.https_proxy;
  const except = (environment.NO_PROXY ?? environment.no_proxy ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const parsed = routeSchema.safeParse({
    caFile: certificates ? resolve(certificates) : null,
    proxy: asked ? { url: asked, except } : null,
    plainHttp: url.startsWith('http:'),
  });
  if (parsed.success) return parsed.data;
  throw usage(
    `the proxy cannot be used: ${parsed.error.issues.map(({ message }) => message).join('; ')}`,
    'Give --proxy http://HOST:PORT.',
  );
}
