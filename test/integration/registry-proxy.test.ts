import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { fetchImage } from '../../packages/oci/src/registry/fetch.ts';
import { registriesSchema } from '../../packages/oci/src/registry/registries.ts';
import { Fetching, image } from '../../packages/oci/src/testing/fetching.ts';
import { ConnectProxy } from './proxy.ts';

/** Tests how images are fetched on a machine that reaches others through an HTTP proxy alone, and resolves no names. */
const { signal } = new AbortController();
const resolvesNothing = () => Promise.reject(new Error('this machine resolves no names'));
let here: Fetching;
beforeAll(async () => {
  here = await Fetching.make();
});
afterAll(() => here.remove());
beforeEach(() => here.begin());
afterEach(() => here.end());

/** Fetches an image of the fake registry under a name that nothing but the proxy can resolve. */
async function fetchThrough(
  proxy: ConnectProxy,
  options: { named: boolean; except?: string[]; resolve?: () => Promise<string[]> },
) {
  const place = `registry.test:${here.registry.place.split(':')[1]}`;
  const registries = registriesSchema.parse(options.named ? [{ location: place, insecure: true }] : []);
  const httpProxy = { url: proxy.url, except: options.except ?? [] };
  const deps = here.depsFor(registries, { resolve: options.resolve ?? resolvesNothing, httpProxy });
  return { place, fetched: fetchImage(deps, `${place}/tool:1`, {}, signal) };
}

it('a registry that the operator named is asked through the proxy by its name', async () => {
  await using proxy = await new ConnectProxy().start();
  const digest = here.registry.put('tool', '1', image());
  const { place, fetched } = await fetchThrough(proxy, { named: true });
  expect((await fetched).digest).toBe(digest);
  expect(new Set(proxy.targets)).toEqual(new Set([place]));
});

it('a host that is excepted is dialled by this machine', async () => {
  await using proxy = await new ConnectProxy().start();
  const digest = here.registry.put('tool', '1', image());
  const resolve = async () => ['127.0.0.1'];
  const { fetched } = await fetchThrough(proxy, { named: true, except: ['.test'], resolve });
  expect((await fetched).digest).toBe(digest);
  expect(proxy.targets).toEqual([]);
});

it.each([
  ['has no name that this machine resolves', resolvesNothing, 'registry_unreachable'],
  ['has a private address', async () => ['10.1.2.3'], 'registry_not_public'],
])(
  'the proxy is not asked for a registry that the operator did not name and that %s',
  async (_why, resolve, code) => {
    await using proxy = await new ConnectProxy().start();
    const { fetched } = await fetchThrough(proxy, { named: false, resolve });
    await expect(fetched).rejects.toMatchObject({ code });
    expect(proxy.targets).toEqual([]);
  },
);

it('for another public registry the proxy is asked for the address that was checked', async () => {
  await using proxy = await new ConnectProxy().start();
  proxy.allows = false;
  const { place, fetched } = await fetchThrough(proxy, { named: false, resolve: async () => ['198.41.0.4'] });
  await expect(fetched).rejects.toMatchObject({ code: 'registry_unreachable' });
  expect(new Set(proxy.targets)).toEqual(new Set([`198.41.0.4:${place.split(':')[1]}`]));
});
