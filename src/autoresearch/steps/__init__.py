"""One file per step: records and ports in, exactly one record out."""
