-- Secrets, encrypted with the key of the fleet: an account's access token, and what clears the user
-- tokens of recipients. Without a key nothing is ever in either.

-- One row per account: channel, server and account as a channel has them.
CREATE TABLE token (
    channel     text NOT NULL,
    origin      text NOT NULL,
    account     text NOT NULL,
    generation  bigint NOT NULL DEFAULT 0, -- raised by every refresh
    sealed      bytea,                -- the token, encrypted; NULL before the first refresh
    expires_at  double precision,     -- it is not used any more from then on, by this server's clock
    holder      text,                 -- who is refreshing it now
    lease_until double precision,     -- and until when nobody else does
    PRIMARY KEY (channel, origin, account)
) WITH (fillfactor = 50);

-- User tokens of a campaign are in a table `user_token_` and its number, one row per recipient who is
-- still to be sent to: `seq` and `sealed`. This clears those who become final, in the same commit.
CREATE FUNCTION clear_user_tokens() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format(
        'DELETE FROM %I AS t USING changed AS c WHERE t.seq = c.seq AND c.state > 1', TG_ARGV[0]);
    RETURN NULL;
END
$$;
