import { describe, expect, test } from 'vitest';
import { draftTitles as giteaTitles } from './gitea/facts.ts';
import { draftTitles as gitlabTitles } from './gitlab/facts.ts';
import { plainTitle, titleOf } from './title.ts';

describe.each([
  ['Gitea', giteaTitles, ['WIP: t', 'wip:t', '[WIP] t']],
  ['GitLab', gitlabTitles, ['Draft: t', 'draft: t', '[Draft] t', '(Draft) t']],
] as const)('a title on %s', (_host, titles, drafts) => {
  test.each(drafts)('%s is that of a draft', (title) => {
    expect(plainTitle(titles, title)).toBe('t');
  });

  test('has the words of a draft once, or not at all', () => {
    const draft = titleOf(titles, 't', true);
    expect(titleOf(titles, draft, true)).toBe(draft);
    expect(titleOf(titles, draft, false)).toBe('t');
    expect(plainTitle(titles, draft)).toBe('t');
  });
});
