package localdb

import ("testing";"context";"time";"os")

func TestTry(t *testing.T){
 dir,_:=os.MkdirTemp("","slt")
 t0:=time.Now()
 p,err:=StartPostgres(context.Background(),Options{Dir:dir+"/pg",Durable:true})
 if err!=nil{t.Fatal(err)}
 t.Log(p.URL(),time.Since(t0), p.k.home.base)
 t0=time.Now(); t.Log(p.Restart(context.Background()),time.Since(t0))
 t0=time.Now(); p.Kill(); t.Log(time.Since(t0)); t.Log(p.Restart(context.Background()),time.Since(t0))
 t0=time.Now(); t.Log(p.Stop(context.Background()),time.Since(t0))
 t0=time.Now()
 p,err=StartPostgres(context.Background(),Options{Dir:dir+"/pg2"})
 if err!=nil{t.Fatal(err)}
 t.Log("nondurable",p.URL(),time.Since(t0), p.k.home.base)
 t0=time.Now(); t.Log(p.Stop(context.Background()),time.Since(t0))
 t0=time.Now()
 m,err:=StartMySQL(context.Background(),Options{Dir:dir+"/my",Durable:true})
 if err!=nil{t.Fatal(err)}
 t.Log(m.DSN("x"),time.Since(t0))
 t0=time.Now(); t.Log(m.Restart(context.Background()),time.Since(t0))
 t0=time.Now(); m.Kill(); t.Log(time.Since(t0)); t.Log(m.Restart(context.Background()),time.Since(t0))
 t0=time.Now(); t.Log(m.Stop(context.Background()),time.Since(t0))
 t0=time.Now()
 m,err=StartMySQL(context.Background(),Options{Dir:dir+"/my2",Ephemeral:true})
 if err!=nil{t.Fatal(err)}
 t.Log("eph",m.DSN("x"),time.Since(t0))
 t0=time.Now(); t.Log(m.Stop(context.Background()),time.Since(t0))
}
