-- Version 7: when a campaign's cap on messages per person was counted last (max_per_person); NULL: never.
ALTER TABLE campaign ADD COLUMN cap_counted_at double precision;
