// Plain Java, without Android, so that any JDK can compile and test it.
plugins { `java-library` }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies {
    compileOnly("org.json:json:20231013")  // Android has its own
    testImplementation("org.json:json:20231013")
}
