import { expect, it } from 'vitest';
import { routeOf } from './route.ts';

const url = 'https://fumehood.example.com';
const asked = { url, caFile: undefined, proxy: undefined };

it('the way to the instance is that of other programs: HTTPS_PROXY and NO_PROXY', () => {
  expect(routeOf(asked, {})).toEqual({ caFile: null, proxy: null, plainHttp: false });
  expect(routeOf(asked, { https_proxy: 'http://p:1', NO_PROXY: 'a.example, .b ,' })).toMatchObject({
    proxy: { url: 'http://p:1', except: ['a.example', '.b'] },
  });
});

it('the option comes before the environment', () => {
  const route = routeOf({ ...asked, proxy: 'http://q:2', caFile: '/ca' }, { HTTPS_PROXY: 'http://p:1' });
  expect(route).toMatchObject({ caFile: '/ca', proxy: { url: 'http://q:2' } });
  expect(routeOf(asked, { NODE_EXTRA_CA_CERTS: '/their-ca' })).toMatchObject({ caFile: '/their-ca' });
});

it('a proxy with a password is refused, because the file of the settings is not secret', () => {
  expect(() => routeOf({ ...asked, proxy: 'http://u:p@q:2' }, {})).toThrow('must not contain a user');
});
