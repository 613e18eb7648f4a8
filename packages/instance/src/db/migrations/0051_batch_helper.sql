-- The image of upstream's helper, with which executors of upstream's kind run each step as containers of its own; null: they run `src batch exec`.
alter table batch_settings add column helper_image text;
