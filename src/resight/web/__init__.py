"""The web page and the HTTP interface of a collection: `resight serve`.

`app` makes the application, `server` runs it; everything they need beyond the rest of Resight comes
with the extra `web`. `/api/v1/openapi.json` of a running server describes the interface.
"""
