from jwt_middleware.testing import SessionStoreContract
from jwt_middleware.stores.sqlite import SQLiteSessionStore
class TestS(SessionStoreContract):
    def make_store(self,tmp_path): return SQLiteSessionStore(tmp_path/"s.sqlite3")
