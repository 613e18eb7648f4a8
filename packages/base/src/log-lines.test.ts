import { expect, it } from 'vitest';
import { textOf } from './log-lines.ts';

it('a line of the log is for people: time, level, message and facts', () => {
  const line = { level: 40, time: 0, job: 7, url: 'https://h:1/a', error: { code: 'x' }, msg: 'it waits' };
  expect(textOf(JSON.stringify(line))).toBe(
    '1970-01-01T00:00:00.000Z warn it waits job=7 url=https://h:1/a error={"code":"x"}\n',
  );
});

it('no text of a client makes a line of its own or controls the terminal', () => {
  const line = { level: 30, time: 0, name: 'a\n\u{1b}[31m "b"', msg: 'x\r\ny\u{e0041}' };
  expect(textOf(JSON.stringify(line))).toBe(
    '1970-01-01T00:00:00.000Z info x\\u000d\\u000ay\\udb40\\udc41 name="a\\n\\u001b[31m \\"b\\""\n',
  );
});
