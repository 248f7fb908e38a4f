"""The people of a campaign for whoever looks: by the page, and one by one."""
